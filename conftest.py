"""Real servers for all tests: the fixtures are ``lastro.core.testing``'s, as they are for anybody's own domain."""

pytest_plugins = ["lastro.core.testing"]
