"""The server: MONAI Label's REST protocol, carina's own routes, inference workers, sessions and deliveries."""
