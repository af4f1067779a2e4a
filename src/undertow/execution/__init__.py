"""What was done: fills, fees, the ledger and the brokers."""
