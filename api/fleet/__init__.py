"""What this gateway knows of the others: who works, what waits, what was done lately."""
