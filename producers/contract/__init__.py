"""The contract: the messages of the queue, their rules, their bytes and their Redis keys. No I/O."""
