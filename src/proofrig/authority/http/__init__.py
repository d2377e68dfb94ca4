"""The authority over HTTP: the service, its document, and the client."""
