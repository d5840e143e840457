"""The colours of all figures, and what a page of HTML calls them, where it has others in the dark."""

# Okabe and Ito's, which stay apart for colour-blind eyes, some of them darkened to be legible as text.
BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#007F5C", "#A3428B"
GREY = "#666666"  # of text; the others, from dark to light:
DARK, AXIS, LIGHT, GRID, SHADE, TINT = "#555555", "#888888", "#c4c4c4", "#e4e4e4", "#f1f1f1", "#eef4f9"

THEME = {
    "#000000": "ink",
    "#ffffff": "paper",
    BLUE: "blue",
    ORANGE: "orange",
    GREEN: "green",
    PURPLE: "purple",
    GREY: "grey",
    DARK: "dark",
    AXIS: "axis",
    LIGHT: "light",
    GRID: "grid",
    SHADE: "shade",
    TINT: "tint",
}
