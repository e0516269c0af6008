"""The control plane: the life of a deploy, publishing, the API and its web pages."""
