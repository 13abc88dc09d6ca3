"""What is served: the models, how their requests are read, and what is said of them."""
