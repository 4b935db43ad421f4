"""The bundled sample repository and the small in-process registry that `moorline demo` uses."""
