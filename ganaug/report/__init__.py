"""The parts that all HTML pages share: a base template, number formats, and pictures as data URIs."""
