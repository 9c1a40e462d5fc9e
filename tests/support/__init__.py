"""What tests share: builders, fakes and drivers of the queue."""
