"""A page as typed content, and how it becomes text and one offline HTML file. No torch, no experiment."""
