"""What a person sees: the summary on the terminal, tables in the format asked for, figures."""
