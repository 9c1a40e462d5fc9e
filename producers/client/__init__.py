"""The asynchronous client: `Producer` and the handles that it gives out."""
