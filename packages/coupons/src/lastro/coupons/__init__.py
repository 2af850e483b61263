"""A limited number of coupons against a crowd: never one too many, never a winner lost."""
