"""What coupons talks about. Pure: no Redis, no clock, no I/O."""
