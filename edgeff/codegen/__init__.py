"""Program -> C99 sources that any compiler builds."""
