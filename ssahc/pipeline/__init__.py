"""One recording from x-vectors to speaker turns, and the tuning of its options."""
