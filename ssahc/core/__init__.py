"""What every layer shares: types, errors, validation of options, turns."""
