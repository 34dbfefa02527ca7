"""Three problems: a program reads standard input and must print what is wanted. The smallest benchmark there can be."""
