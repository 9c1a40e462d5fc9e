"""Programs to copy from: clients of the gateway, and apps that use the synchronous producer. Tests run all of them."""
