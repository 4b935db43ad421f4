"""One module for each schema, by its number; what is here is never changed once it was released."""
