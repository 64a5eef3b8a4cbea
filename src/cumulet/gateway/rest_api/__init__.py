"""The data plane of REST APIs: answers requests to what is deployed, from memory alone."""
