//! Pictures that are drawn: rows of colours, and the file that any reader of pictures takes.

/// How many bytes stand before the pixels of a BMP file: its own head and that of the bitmap.
const HEAD: u32 = 14 + 40;

/// Red, green and blue, 0 to 255 each; what is brighter or darker is cut off when it is drawn.
pub type Colour = [f32; 3];

/// A picture of 8 bits a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    width: u32,
    height: u32,
    /// From the upper left, row by row.
    pixels: Vec<[u8; 3]>,
}

impl Picture {
    /// A picture whose colour is a function of the place, in pixels from the upper left.
    pub fn paint(width: u32, height: u32, colour: impl Fn(f32, f32) -> Colour) -> Self {
        let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        Self { width, height, pixels: places.map(|(x, y)| channels(colour(x as f32, y as f32))).collect() }
    }

    pub fn width(&self) -> u32 {
        self.width
    }

    pub fn height(&self) -> u32 {
        self.height
    }

    /// Red, green and blue of a pixel; `None` beyond the edges.
    pub fn pixel(&self, x: u32, y: u32) -> Option<[u8; 3]> {
        if x < self.width { self.pixels.get((y * self.width + x) as usize).copied() } else { None }
    }

    /// Fills an ellipse, given by its centre and half of its width and height; what is beyond the edges is left out.
    pub fn ellipse(&mut self, centre: (f32, f32), across: f32, down: f32, colour: Colour) {
        let channels = channels(colour);
        let span = |middle: f32, half: f32, end: u32| {
            let first = (middle - half).max(0.0) as u32;
            first..((middle + half).max(-1.0) + 1.0).min(end as f32) as u32
        };
        for y in span(centre.1, down, self.height) {
            for x in span(centre.0, across, self.width) {
                let (dx, dy) = ((x as f32 - centre.0) / across.max(0.5), (y as f32 - centre.1) / down.max(0.5));
                if dx * dx + dy * dy <= 1.0 {
                    self.pixels[(y * self.width + x) as usize] = channels;
                }
            }
        }
    }

    /// Fills a rectangle, given by its upper left and lower right; what is beyond the edges is left out.
    pub fn rectangle(&mut self, from: (f32, f32), to: (f32, f32), colour: Colour) {
        let channels = channels(colour);
        for y in from.1.max(0.0) as u32..(to.1.max(0.0) as u32).min(self.height) {
            for x in from.0.max(0.0) as u32..(to.0.max(0.0) as u32).min(self.width) {
                self.pixels[(y * self.width + x) as usize] = channels;
            }
        }
    }

    /// Adds something to every pixel: the noise of a sensor.
    pub fn disturb(&mut self, mut by: impl FnMut() -> f32) {
        for pixel in &mut self.pixels {
            *pixel = channels(pixel.map(|value| f32::from(value) + by()));
        }
    }

    /// The picture as a BMP file of 24 bits: nothing is compressed and nothing is lost.
    pub fn to_bmp(&self) -> Vec<u8> {
        // Rows are filled up to whole words.
        let padding = (4 - self.width as usize * 3 % 4) % 4;
        let size = HEAD + (self.width * 3 + padding as u32) * self.height;
        let mut file = Vec::with_capacity(size as usize);
        file.extend(*b"BM");
        file.extend([size, 0, HEAD, 40, self.width, self.height].map(u32::to_le_bytes).concat());
        // One plane of 24 bits; not compressed; 72 dots an inch; no palette.
        file.extend([1_u16, 24].map(u16::to_le_bytes).concat());
        file.extend([0, size - HEAD, 2835, 2835, 0, 0_u32].map(u32::to_le_bytes).concat());
        // The lowest row stands first, and blue before red.
        for row in self.pixels.chunks(self.width.max(1) as usize).rev() {
            file.extend(row.iter().flat_map(|[red, green, blue]| [*blue, *green, *red]));
            file.extend(std::iter::repeat_n(0, padding));
        }
        file
    }
}

fn channels(colour: Colour) -> [u8; 3] {
    // A cast stays within the bounds.
    colour.map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RED: Colour = [255.0, 0.0, 0.0];

    fn black(width: u32, height: u32) -> Picture {
        Picture::paint(width, height, |_, _| [0.0; 3])
    }

    #[test]
    fn a_bmp_has_its_size_and_its_last_row_first() {
        let mut picture = black(3, 2);
        picture.rectangle((0.0, 1.0), (1.0, 2.0), RED);
        let file = picture.to_bmp();
        assert_eq!(file.len(), 54 + 2 * 12, "rows of nine bytes take twelve");
        assert_eq!((&file[..2], u32::from_le_bytes(file[2..6].try_into().unwrap())), (&b"BM"[..], 78));
        assert_eq!((file[18], file[22], file[28]), (3, 2, 24));
        assert_eq!(file[54..57], [0, 0, 255], "blue, green and red of the lower left");
    }

    #[test]
    fn what_is_beyond_the_edges_is_left_out() {
        let mut picture = black(10, 10);
        picture.ellipse((-3.0, 4.0), 5.0, 2.0, RED);
        picture.ellipse((50.0, -50.0), 5.0, 2.0, RED);
        picture.rectangle((8.0, 8.0), (30.0, 30.0), RED);
        assert_eq!((picture.pixel(0, 4), picture.pixel(9, 9)), (Some([255, 0, 0]), Some([255, 0, 0])));
        assert_eq!((picture.pixel(9, 0), picture.pixel(10, 0), picture.pixel(0, 10)), (Some([0; 3]), None, None));
    }

    #[test]
    fn colours_are_cut_off_at_black_and_white() {
        let mut picture = Picture::paint(1, 1, |_, _| [300.0, -20.0, 7.9]);
        assert_eq!(picture.pixel(0, 0), Some([255, 0, 7]));
        picture.disturb(|| -10.0);
        assert_eq!(picture.pixel(0, 0), Some([245, 0, 0]));
    }
}
