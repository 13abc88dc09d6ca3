"""Single studies with published results. No other module depends on them."""
