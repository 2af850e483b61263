"""The tables of coupons, and what is written to them."""

from lastro.core.database.migrate import Tables

TABLES = Tables(__name__, head="0006")
