"""From a file to a table of plain columns: what is left open is found in the file itself, and said."""
