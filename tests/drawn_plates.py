"""Plates drawn with OpenCV, what cameras do to them, and readers that say what they are told."""

from dataclasses import replace

import cv2
import numpy as np

from reading.reader import ALPHABET, Reading


def plate(text, size=(96, 192)):
    """Black characters on white, (h, w, 3) float32 in [0, 1]."""
    picture = np.full((*size, 3), 240, np.uint8)
    cv2.putText(picture, text, (8, 64), cv2.FONT_HERSHEY_SIMPLEX, 1.35, (25, 25, 25), 4, cv2.LINE_AA)
    return picture.astype(np.float32) / 255


def motion(picture, length):
    return cv2.filter2D(picture, -1, np.eye(length, dtype=np.float32) / length, borderType=cv2.BORDER_REFLECT_101)


def moved(picture, dx, dy, angle=0.0, zoom=1.0):
    height, width = picture.shape[:2]
    warp = cv2.getRotationMatrix2D((width / 2, height / 2), angle, zoom)
    warp[:, 2] += (dx, dy)
    return cv2.warpAffine(picture, warp, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)


def noisy(picture, sigma, seed):
    return np.clip(picture + np.random.default_rng(seed).normal(0, sigma, picture.shape), 0, 1).astype("float32")


def reading(*steps):
    """A reading from (character, probability[, second character]) per time step; "" is a blank."""
    rows = np.full((len(steps), len(ALPHABET)), 1e-6, np.float32)
    for row, (char, probability, *second) in zip(rows, steps, strict=True):
        row[ALPHABET.index(char)] = probability
        if second:
            row[ALPHABET.index(second[0])] = 1 - probability
    return Reading("", steps=rows / rows.sum(axis=1, keepdims=True))


def spelled(text):
    return replace(reading(*[part for char in text for part in ((char, 0.9), ("", 1))]), text=text)


class Scripted:
    """A reader that gives every picture the next of some readings, then the last for ever."""

    def __init__(self, *readings):
        self.readings = list(readings)

    def read(self, pictures):
        return [self.readings.pop(0) if len(self.readings) > 1 else self.readings[0] for _ in pictures]
