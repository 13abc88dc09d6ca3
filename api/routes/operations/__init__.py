"""Endpoints for operators and autoscalers: health, workers, lanes, scaling, history."""
