"""One package per service, each with api, model, storage and errors."""
