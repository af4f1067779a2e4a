"""The journal: every received frame with its receive time, in hourly segments that survive a crash."""
