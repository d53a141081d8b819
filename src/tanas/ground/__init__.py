"""What everything stands on: errors, events, seeds, files, devices."""
