"""Figures: `*_data` turns results into frozen data, `draw_*` puts the data on matplotlib axes."""
