"""The pre-trained 2-D networks, each with its labelled sites."""
