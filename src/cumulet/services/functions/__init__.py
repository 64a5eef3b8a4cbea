"""Functions: their code, versions, aliases, layers, permissions and settings, and the calls that invoke them."""
