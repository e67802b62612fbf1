"""The loop: observe, decide, write down, act, verify. Knows policies; knows no world."""
