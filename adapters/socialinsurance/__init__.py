"""Social insurance: health cards of newborns, employments, maternity allowances."""
