"""The Flask application that forges talk to."""
