"""A shop: an order and its workflow are one transaction."""
