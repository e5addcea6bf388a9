"""The page that shows what was reproduced: data for its templates, which escape whatever they are given."""
