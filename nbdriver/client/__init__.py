"""Reaching out: HTTP requests and WebSocket connections to other machines."""
