"""An event to an ARN: the one way in which services that are strangers to each other reach each other."""
