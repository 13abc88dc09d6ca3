"""What operators and autoscalers ask: health, workers, lanes, scaling, the last hour."""
