"""Administrative units of Viet Nam in two code lists, and what became of each unit in July 2025."""
