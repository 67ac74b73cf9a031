"""Small networks that show one thing in the pure: memorisation, bagging, and how many facts fit."""
