"""Civil status: the book of births, written with what other registers answer over the bus."""
