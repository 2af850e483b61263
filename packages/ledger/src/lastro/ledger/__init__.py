"""Double-entry accounts and transfers with TigerBeetle's exact semantics."""

from .model.ids import new_id as new_id
