"""Running text: files of it, random strings cut out of them, and what kind of token each token is. No torch."""

from rote.text.categories import CATEGORIES, categories
from rote.text.read import Text, read_text
from rote.text.strings import Strings, cut_strings
