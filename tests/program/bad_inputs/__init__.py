"""Bad input, by where it stands: each case has what is wrong and the exact words that the user reads."""
