"""One experiment from the table to the record: train, what it is told (job), what is recorded, where it comes from."""
