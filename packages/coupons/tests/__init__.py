"""The tests of coupons share what their conftest has."""
