"""The paper reproduced: its study, its claims judged, its figures drawn anew, and the page that shows them."""
