"""The background work of coupons."""
