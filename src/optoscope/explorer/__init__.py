"""One page on which an optimizer can be touched."""
