"""CloudWatch Logs: groups, streams, events, filter patterns; and the sink that functions' output flows into."""
